"""format on a real project."""

from __future__ import annotations

from isomesh_dagster_tests.cli.conftest import Shop

MESSY = "MODEL (kind FULL, name shop.messy);\nselect order_id, -- which\n amount from shop.orders"
NEAT = "MODEL (\n  name shop.messy,\n  kind FULL\n);\n\nSELECT\n  order_id, -- which\n  amount\nFROM shop.orders\n"


def test_files_are_laid_out_in_place_and_stay_the_same_models(shop: Shop) -> None:
    assert shop("format").exit_code == 0
    path = shop.root / "models" / "shop" / "messy.sql"
    path.write_text(MESSY)
    assert shop("plan", "dev", "--auto-apply").exit_code == 0

    check = shop("format", "--check")
    assert check.exit_code == 1
    assert "models/shop/messy.sql  would be laid out anew" in check.stdout
    diff = shop("format", "--diff", str(path))
    assert diff.exit_code == 0
    assert "+  order_id, -- which" in diff.stdout
    assert path.read_text() == MESSY

    assert "1 file changed" in shop("format").stdout
    assert path.read_text() == NEAT
    assert shop("format", "--check").exit_code == 0
    assert "Nothing to do" in shop("plan", "dev").stdout


def test_line_ends_marks_and_permissions_are_kept(shop: Shop) -> None:
    path = shop.root / "models" / "shop" / "messy.sql"
    path.write_bytes(b"\xef\xbb\xbf" + MESSY.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    assert shop("format", str(path)).exit_code == 0
    assert path.read_bytes() == b"\xef\xbb\xbf" + NEAT.replace("\n", "\r\n").encode()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_can_say_no(shop: Shop) -> None:
    path = shop.root / "models" / "shop" / "messy.sql"
    text = MESSY.replace("kind FULL", "kind FULL, formatting false")
    path.write_text(text)
    assert shop("format").exit_code == 0
    assert path.read_text() == text


def test_a_path_without_files_is_told(shop: Shop) -> None:
    result = shop("format", "nowhere")
    assert result.exit_code == 1
    assert "nowhere" in result.stderr


def test_the_style_of_the_configuration_and_of_the_command(shop: Shop) -> None:
    path = shop.root / "models" / "shop" / "messy.sql"
    path.write_text(MESSY)
    config = shop.root / "config.yaml"
    config.write_text(config.read_text() + "\nformat:\n  leading_comma: true\n")
    assert shop("format", str(path), "--indent", "4").exit_code == 0
    assert "    order_id -- which\n    , amount" in path.read_text()
