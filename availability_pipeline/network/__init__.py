"""The network, for all that ask servers: one configuration, one way to send a request, one word for each failure.

Nothing here knows what the requests are about.
"""
