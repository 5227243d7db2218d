"""Posteriors over DAGs whose weight is a product over variables."""
