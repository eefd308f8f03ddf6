SELECT * FROM hand.consume($1, 1);
