"""One module a wire format. Each has the same functions:

read(body, headers, provider, …)  checks a request as strictly as the real API; gives a Turn. Its
                                  last argument is the model, where that is part of the path
whole(turn, reply, usage, ...)    the answer in one piece
stream(turn, reply, usage, ...)   the answer as the bytes of events, one at a time
error_event(body)                 an error in the middle of a stream
"""
