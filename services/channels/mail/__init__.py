"""Mail servers hand mail over here by LMTP or SMTP: the way with the best guarantee of delivery."""
