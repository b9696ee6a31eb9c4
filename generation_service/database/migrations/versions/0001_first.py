"""The first schema."""

from alembic import op

from generation_service.database.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The index holds tokens that are spelled out already, so it must neither fold nor split them: `ascii` and
# array_to_tsvector do not. Where in a text a token stands is not needed, nor is the database's own ranking.
_SQLITE_UP = (
    "CREATE VIRTUAL TABLE chunk_index USING fts5(tokens, content='', tokenize='ascii', detail=none, columnsize=0)",
    """CREATE TRIGGER chunk_index_insert AFTER INSERT ON chunks BEGIN
         INSERT INTO chunk_index(rowid, tokens) VALUES (new.rowid, new.tokens); END""",
    """CREATE TRIGGER chunk_index_delete AFTER DELETE ON chunks BEGIN
         INSERT INTO chunk_index(chunk_index, rowid, tokens) VALUES ('delete', old.rowid, old.tokens); END""",
)
_POSTGRESQL_UP = (
    """ALTER TABLE chunks ADD COLUMN token_vector tsvector
         GENERATED ALWAYS AS (array_to_tsvector(string_to_array(tokens, ' '))) STORED""",
    "CREATE INDEX ix_chunks_token_vector ON chunks USING gin (token_vector)",
)


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    for statement in _SQLITE_UP if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_UP:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE chunk_index")
    metadata.drop_all(op.get_bind())
