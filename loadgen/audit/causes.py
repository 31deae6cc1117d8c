"""For each invariant, what would break it: one sentence for the page and the report."""

CAUSES = {
    "acknowledged but missing": "A service that answers before the write is on disk would break this.",
    "acknowledged but altered": "A write that is cut, rounded or mixed up with another would break this.",
    "duplicated": "A retry that is carried out a second time would break this.",
    "refused but present": "A transaction that is only half rolled back would break this.",
    "never sent but present": "Rows that leak from one request into another would break this.",
    "order with an unknown user or product": "An order that is accepted without a look-up would break this.",
    "wrong total": "Prices in binary floating point would break this.",
    "equal e-mails": "A check before the insert, where a constraint belongs, would break this.",
    "replay that differed": "A key that is not stored in the transaction of its write would break this.",
    "own write not read back": "A read from an old copy would break this.",
    "update lost": "An If-Match that is compared outside the transaction would break this.",
    "accepted, had to be refused": "A rule that is checked on one path only would break this.",
    "refused without cause": "A limit that is not documented, or a rule that is too strict, would break this.",
    "oversold": "A reservation that ends by the clock, while its order is being written, would break this.",
    "units lost or invented": "A release that is lost, or carried out twice, would break this.",
    "still reserved": "A confirm or release that nobody sends again after a crash would break this.",
    "sales and orders differ": "Units that are given back although their order was written would break this.",
    "out of stock too early": "A shortage that is told while others only hold the units would break this.",
}
