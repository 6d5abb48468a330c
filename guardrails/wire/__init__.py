"""What callers speak: one module a protocol, found by the end of its path.

A protocol module answers, for bodies that are plain JSON objects:

    PROTOCOL, PATH                    its name in the log; the path behind `/v1`, also upstream
    check_request(body)               raises BadRequest, naming the field
    inputs(body) / outputs(answer)    the texts to check, and what cannot be checked
    blocked(exchange, message)        the answer that a withheld exchange gets
    usage(answer)                     tokens as the upstream counted them

and, where it can be streamed:

    Fold                              events → the whole answer
    unfold(answer, include_usage)     the whole answer → events
    frame(event), END                 an event, and the stream's end, as bytes on the wire
"""
