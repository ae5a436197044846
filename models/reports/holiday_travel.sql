MODEL (
  name reports.holiday_travel,
  kind VIEW,
  description 'Do holidays make flights late? Ordinary days against holidays and the days around them.',
  grain season,
  tags (report, punctuality),
  audits (
    unique_values(columns := (season))
  )
);

SELECT
  calendar.season,
  COUNT(DISTINCT calendar.day) AS days,
  SUM(days.flights) / COUNT(DISTINCT calendar.day) AS flights_per_day,
  SUM(days.late) / SUM(days.flights) AS late_share,
  SUM(days.cancelled) / SUM(days.flights) AS cancelled_share
FROM marts.carrier_days AS days
INNER JOIN core.calendar AS calendar
  ON calendar.day = days.flight_date
GROUP BY
  calendar.season
