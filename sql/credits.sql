/* credits: who pays?
 */
