MODEL (
  name core.carriers,
  kind FULL,
  description 'Carriers with their business model; regional carriers with the airline whose colours they flew.',
  grain carrier,
  tags (core),
  audits (
    not_null(columns := (carrier, business_model)),
    unique_values(columns := (carrier))
  )
);

SELECT
  carriers.carrier,
  carriers.carrier_name,
  groups.business_model,
  COALESCE(partners.carrier_name, carriers.carrier_name) AS brand
FROM staging.carriers AS carriers
LEFT JOIN seeds.carrier_groups AS groups
  ON groups.carrier = carriers.carrier
LEFT JOIN staging.carriers AS partners
  ON partners.carrier = groups.mainline_partner
