"""What a run decided, as a document for programs and as pages and tables for people."""
