-- calls: 1000
SELECT bench.hand_costs(1000) WHERE $1::uuid IS NOT NULL;
