"""Finding passages: 2-gram tokens, candidates from the database, one BM25 over them."""
