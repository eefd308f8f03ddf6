/* tallies: how often was this row used?
 */
