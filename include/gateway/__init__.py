"""The HTTP gateway: the webhook endpoints and the API for programs."""
