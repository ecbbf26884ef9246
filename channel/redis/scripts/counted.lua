-- Lists channels of the partition that have subscribers on a node, at most 1,000.
-- KEYS: due
-- ARGV: node
return redis.call('HRANDFIELD', counts(ARGV[1]), 1000)
