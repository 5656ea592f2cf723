"""Results on mixtures: a document for programs, pages and tables for people."""
