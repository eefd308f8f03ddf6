/* 0.5.0: counting in shared memory, rate limits */
