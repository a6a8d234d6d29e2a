"""What the benches post: a chat message as a platform sends it, 430 bytes."""

_EVENT = (
    b'{"specversion":"1.0","id":"m-%d","source":"crm","type":"interaction.message.v1",'
    b'"time":"2026-11-22T09:00:00Z","data":{"channel":"chat","conversation_key":"thread-%d",'
    b'"direction":"inbound","author":{"role":"customer","name":"Kim Example"},'
    b'"identities":[{"scheme":"email","value":"kim%d@example.org"}],'
    b'"text":"My invoice is wrong: I was charged twice in October. Can you help me?",'
    b'"attributes":{"topic":"billing","tier":"gold"}}}'
)


def event(number: int) -> bytes:
    """One CloudEvent; each number is another conversation."""
    return _EVENT % (number, number, number)


def batch(first: int, size: int) -> bytes:
    return b"[" + b",".join(event(number) for number in range(first, first + size)) + b"]"
