"""Face generators shared by PULSE and pSp."""
