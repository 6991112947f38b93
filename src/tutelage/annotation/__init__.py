"""What a paid or served teacher is asked, what becomes of every call, and what it costs."""
