/* runs: long work
 */
