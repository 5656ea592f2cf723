"""What is known of mixtures, as a document for programs and as pages and tables for people."""
