MODEL (
  name core.flights,
  kind INCREMENTAL_BY_TIME_RANGE (
    time_column flight_date,
    batch_size 92
  ),
  end '2013-12-31',
  cron '@daily',
  description 'The fact of the project: every scheduled departure with what became of it, built day by day.',
  column_descriptions (
    flight_id = 'date, carrier, flight number and origin',
    outcome = 'on time, late, cancelled or diverted; the four exclude each other',
    minutes_made_up = 'arrival earlier than the departure''s delay foretold; negative when more time was lost in the air'
  ),
  grain flight_id,
  tags (core),
  audits (
    unique_values(columns := (flight_id)),
    not_null(columns := (flight_id, flight_date, outcome)),
    accepted_values(column := outcome, is_in := ('on time', 'late', 'cancelled', 'diverted')),
    no_early_birds
  )
);

SELECT
  flight_id,
  flight_date,
  scheduled_departure,
  departure_hour_utc,
  carrier,
  flight_number,
  tail_number,
  origin,
  destination,
  origin || '-' || destination AS route,
  departure_delay,
  arrival_delay,
  departure_delay - arrival_delay AS minutes_made_up,
  air_minutes,
  distance_miles,
  outcome
FROM staging.flights
WHERE
  flight_date BETWEEN @start_date AND @end_date
