MODEL (
  name seeds.carrier_groups,
  kind SEED (
    path '$root/seeds/carrier_groups.csv'
  ),
  description 'How carriers make their money, and for whom regional ones flew in 2013. Kept by hand.',
  columns (
    carrier TEXT,
    business_model TEXT,
    mainline_partner TEXT
  ),
  grain carrier,
  tags (reference),
  audits (
    unique_values(columns := (carrier)),
    accepted_values(column := business_model, is_in := ('network', 'low cost', 'regional'))
  )
)
