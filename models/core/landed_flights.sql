MODEL (
  name core.landed_flights,
  kind EMBEDDED,
  description 'Flights that arrived where they were meant to; inlined where it is read, it has no table.',
  grain flight_id,
  tags (core)
);

SELECT *
FROM core.flights
WHERE
  outcome IN ('on time', 'late')
