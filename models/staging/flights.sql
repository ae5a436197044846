MODEL (
  name staging.flights,
  kind VIEW,
  description 'Scheduled departures from New York City, one row each, with clean names and real dates.',
  grain flight_id,
  tags (staging),
  audits (
    not_null(columns := (flight_id, flight_date, carrier, origin, destination))
  )
);

SELECT
  CONCAT_WS('-', STRFTIME(MAKE_DATE(year, month, day), '%Y%m%d'), carrier, flight, origin) AS flight_id,
  MAKE_DATE(year, month, day) AS flight_date, -- local day of the scheduled departure
  MAKE_TIMESTAMP(year, month, day, hour, minute, 0) AS scheduled_departure, -- local time
  time_hour AS departure_hour_utc, -- scheduled departure in UTC, cut to the hour: joins to weather
  carrier,
  flight AS flight_number,
  tailnum AS tail_number,
  origin,
  dest AS destination,
  dep_delay AS departure_delay, -- minutes, negative when early
  arr_delay AS arrival_delay, -- minutes, NULL unless it landed where it was meant to
  air_time AS air_minutes,
  distance AS distance_miles,
  CASE
    WHEN dep_time IS NULL THEN 'cancelled'
    WHEN arr_delay IS NULL THEN 'diverted'
    WHEN arr_delay >= @late_after_minutes THEN 'late'
    ELSE 'on time'
  END AS outcome
FROM raw.flights
