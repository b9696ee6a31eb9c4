"""Operations scripts; each is run as python -m scripts.NAME."""
