"""Why a row got its verdict."""
