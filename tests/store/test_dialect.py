"""Every statement is SQLite's; Postgres is told the same."""

from __future__ import annotations

import pytest

from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.dialect import translate


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a = ? AND b = ?", "a = $1 AND b = $2"),
        ("a = ?2 OR b = ?1 OR c = ?2", "a = $2 OR b = $1 OR c = $2"),
        ("a = ? AND b = '?' || ':no' || 'it''s ?'", "a = $1 AND b = '?' || ':no' || 'it''s ?'"),
        ("FROM outbox INDEXED BY outbox_dead WHERE", "FROM outbox  WHERE"),
        ("FROM outbox NOT INDEXED WHERE", "FROM outbox  WHERE"),
        (
            "x IN (SELECT value FROM json_each(?))",
            "x IN (SELECT value FROM json_array_elements_text(CAST($1 AS JSON)))",
        ),
        ("json_group_array(DISTINCT older.queue)", "json_agg(DISTINCT older.queue)"),
        ("instr(queue, ':') - 1", "strpos(queue, ':') - 1"),
        ("json_extract(data, '$.reason') = ?", "(CAST(data AS JSON) ->> 'reason') = $1"),
        ("sum(length(CAST(text AS BLOB)) + ?)", "sum(octet_length(text) + $1)"),
    ],
)
def test_the_same_is_said_in_the_others_words(ours: str, theirs: str) -> None:
    assert translate(ours).text == theirs


def test_values_with_names_are_put_in_the_order_of_their_numbers() -> None:
    said = translate("a > :since AND a < :until AND b >= :since")

    assert said.text == "a > $1 AND a < $2 AND b >= $1"
    assert said.arguments({"until": 9, "since": 1, "before": 0}) == [1, 9]


@pytest.mark.parametrize(
    ("url", "where", "for_yoyo"),
    [
        (
            "postgresql://ann:p%40ss@db.example:6432/fleet",
            "Postgres db.example:6432/fleet, schema mbp_fleet-bot",
            "postgresql+psycopg://ann:p%40ss@/fleet?host=db.example&port=6432",
        ),
        (
            "postgres://ann@one,[::1]:5433/fleet?sslmode=require",
            "Postgres one,[::1]:5433/fleet, schema mbp_fleet-bot",
            "postgresql+psycopg://ann@/fleet?sslmode=require&host=one%2C%3A%3A1&port=5432%2C5433"
            "&target_session_attrs=primary",
        ),
        (
            "postgresql:///fleet?host=/run/postgresql",
            "Postgres /run/postgresql/fleet, schema mbp_fleet-bot",
            "postgresql+psycopg:///fleet?host=%2Frun%2Fpostgresql",
        ),
    ],
)
def test_an_address_is_told_without_its_password_and_handed_on_whole(
    url: str, where: str, for_yoyo: str
) -> None:
    address = Address(url, "mbp_fleet-bot")

    assert address.where == where
    told, _, query = address.for_yoyo().partition("?")
    base, _, wanted = for_yoyo.partition("?")
    assert (told, set(wanted.split("&")) - set(query.split("&"))) == (base, set())
    assert "schema=%22mbp_fleet-bot%22" in query


def test_a_schemas_name_is_quoted_whatever_is_in_it() -> None:
    assert Address("postgresql:///x", 'a"; DROP').quoted_schema == '"a""; DROP"'
