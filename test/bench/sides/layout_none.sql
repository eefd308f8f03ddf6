-- calls: 100
SELECT count(nextval('layout.id')), count(u), max(clock_timestamp())
  FROM layout.some_users($1) AS u;
