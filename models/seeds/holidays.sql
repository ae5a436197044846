MODEL (
  name seeds.holidays,
  kind SEED (
    path '$root/seeds/holidays.csv'
  ),
  description 'Federal holidays of 2013.',
  columns (
    holiday_date DATE,
    holiday TEXT
  ),
  grain holiday_date,
  tags (reference),
  audits (
    unique_values(columns := (holiday_date))
  )
)
