MODEL (
  name staging.planes,
  kind VIEW,
  description 'Registered planes. The register leaves the year of about one in fifty open.',
  grain tail_number,
  tags (staging),
  audits (
    unique_values(columns := (tail_number)),
    not_null(columns := (tail_number))
  )
);

SELECT
  tailnum AS tail_number,
  year AS built_in,
  UPPER(REPLACE(manufacturer, ' INDUSTRIE', '')) AS manufacturer,
  model,
  engines,
  seats,
  engine AS engine_type
FROM raw.planes
