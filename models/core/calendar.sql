MODEL (
  name core.calendar,
  kind FULL,
  description 'Every day of 2013, with holidays and the days of travel around them.',
  grain day,
  tags (core),
  audits (
    unique_values(columns := (day)),
    number_of_rows(threshold := 364)
  )
);

WITH days AS (
  SELECT CAST(UNNEST(GENERATE_SERIES(DATE '2013-01-01', DATE '2013-12-31', INTERVAL 1 DAY)) AS DATE) AS day
), nearest AS (
  SELECT
    days.day,
    MIN(ABS(DATE_DIFF('day', days.day, holidays.holiday_date))) AS days_to_holiday
  FROM days
  CROSS JOIN seeds.holidays AS holidays
  GROUP BY
    days.day
)
SELECT
  nearest.day,
  DAYNAME(nearest.day) AS weekday,
  ISODOW(nearest.day) >= 6 AS is_weekend,
  holidays.holiday,
  CASE
    WHEN holidays.holiday IS NOT NULL THEN 'holiday'
    WHEN nearest.days_to_holiday <= 2 THEN 'around a holiday'
    ELSE 'ordinary'
  END AS season
FROM nearest
LEFT JOIN seeds.holidays AS holidays
  ON holidays.holiday_date = nearest.day
