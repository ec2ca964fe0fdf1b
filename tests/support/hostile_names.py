"""Fifty names that do harm where a name becomes a part of a command: each would make the file that $CANARY names."""

from __future__ import annotations

NAMES = (
    "$(touch $CANARY)", "`touch $CANARY`", ";touch $CANARY", "; touch $CANARY;", "|touch $CANARY", "| touch $CANARY |",
    "&touch $CANARY", "&& touch $CANARY", "|| touch $CANARY", "a\ntouch $CANARY\n", "a\r\ntouch $CANARY",
    "'; touch $CANARY; '", '"; touch $CANARY; "', "'$(touch $CANARY)'", '"$(touch $CANARY)"', "\\'; touch $CANARY; \\'",
    '\\"$(touch $CANARY)\\"',
    "';touch $CANARY #", "\";touch $CANARY #", "$(touch${IFS}$CANARY)", "`touch${IFS}$CANARY`",
    "a>$CANARY", ">$CANARY", "a>>$CANARY", ">|$CANARY", "a<>$CANARY", "<(touch $CANARY)", ">(touch $CANARY)",
    "${x:=$(touch $CANARY)}", "$((x[$(touch $CANARY)]))", "{touch,$CANARY}", "(touch $CANARY)", "{ touch $CANARY; }",
    "! touch $CANARY", "-oProxyCommand=touch $CANARY", "-oLocalCommand=touch $CANARY", "-oPermitLocalCommand=yes",
    "-F$CANARY", "-E$CANARY", "--checkpoint-action=exec=touch $CANARY", "--to-command=touch $CANARY",
    "--use-compress-program=touch $CANARY", "-Itouch $CANARY", "x@-oProxyCommand=touch $CANARY", "x$(touch $CANARY)@pi",
    "%$(touch $CANARY)h", "~$(touch $CANARY)", "*;touch $CANARY;?", "\t$(touch\t$CANARY)\x1b[31m",
    "\u202e$(touch $CANARY)\u00a0é'\"\\",
)  # fmt: skip
assert len(NAMES) == len(set(NAMES)) == 50
