/* rates: how fast, how many at once?
 */
