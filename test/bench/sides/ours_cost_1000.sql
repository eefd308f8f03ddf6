-- calls: 1000
SELECT bench.our_costs(1000) WHERE $1::uuid IS NOT NULL;
