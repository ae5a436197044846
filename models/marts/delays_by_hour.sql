MODEL (
  name marts.delays_by_hour,
  kind FULL,
  description 'Delays pile up over the day: departures by hour and airport. Fly in the morning.',
  grain (origin, scheduled_hour),
  tags (mart, punctuality),
  audits (
    unique_combination_of_columns(columns := (origin, scheduled_hour)),
    accepted_range(column := scheduled_hour, min_v := 0, max_v := 23)
  )
);

SELECT
  origin,
  HOUR(scheduled_departure) AS scheduled_hour,
  COUNT(*) AS flights,
  COUNT(*) FILTER (WHERE outcome = 'cancelled') / COUNT(*) AS cancelled_share,
  COUNT(*) FILTER (WHERE departure_delay >= @late_after_minutes) / COUNT(departure_delay) AS late_departure_share,
  AVG(departure_delay) AS mean_departure_delay,
  QUANTILE_CONT(departure_delay, 0.9) AS departure_delay_p90
FROM core.flights
GROUP BY
  origin,
  HOUR(scheduled_departure)
