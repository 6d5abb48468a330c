"""What callers speak: one module a protocol, found by its path.

A protocol module answers, for bodies that are plain JSON objects:

    PROTOCOL, PATH                    its name in the log; the path behind `/v1`, also upstream
    check_request(body)               raises BadRequest, naming the field
    inputs(body) / outputs(answer)    the texts to check, and what cannot be checked
    without_blocked_turns(body, …)    the body with earlier blocked turns masked
    is_answer(answer)                 whether an upstream's body is one
    blocked(exchange, message)        the answer that a withheld exchange gets
    finished(exchange, answer)        the answer with what was found in it
    failed(exchange)                  the error that a failed exchange gets
    named(body, model)                an answer or event under the name that the caller asked for
    usage(answer)                     tokens as the upstream counted them

and, where it can be streamed:

    Fold                              events → the whole answer; `.ended` once it came to its end
    unfold(answer, include_usage)     the whole answer → events
    deltas(event)                     every piece of text in an event, each with its lane
    Fold.place(pointer)               where the text of a lane stands in that answer
    Sent                              what was let out, where `stopped` must close what is open
    stopped(exchange, message, released)  the events that end a stream midway
    frame(event), END                 an event, and the stream's end, as bytes on the wire

and, where it is not served at `/v1` + PATH, or not by every upstream:

    PATHS                             the whole paths, `{name}` standing for one part
    model_of(path, body, models)      the model that is asked for
    asks_stream(path, body)           whether a stream is wanted
    blocked_error(exchange, message)  what a route with `blocked_as: error` answers
    HEADERS                           the caller's headers that go upstream, with their defaults
    SPEAKS                            the kind of upstream that speaks it itself (default: openai)
    TRANSLATIONS                      for other kinds: how it is said to them (see `spoken`)
    parts(body)                       how many requests the upstream gets for one of the caller's

`deltas` names a lane by the pointer that its text has in the answer that `Fold` makes, as the
segment of `outputs` does.
"""
