"""Tables as people have them: CSV, JSON lines and spreadsheets, read row by row."""
