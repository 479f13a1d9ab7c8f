# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw material of all text: a vocabulary, and the sentences that break careless programs."""

from __future__ import annotations

from pathlib import Path

VOCABULARY = (Path(__file__).parent / "vocabulary.txt").read_text(encoding="ascii").split()

# One sentence each; sprinkled through long texts and messages.
FOREIGN = (
    "Größe, Straße und Übermaß: ändern wir das später?",
    "Ça suffit, l’été prochain nous irons à Besançon — où ça ?",
    "Zażółć gęślą jaźń, a potem sprawdź łącze.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "هذا نص عربي قصير، مع أرقام ١٢٣ وعلامة؟",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה.",
    "我们明天把数据库迁移到新的服务器。",
    "明日の会議は十時からです。よろしくお願いします。",
    "다람쥐 헌 쳇바퀴에 타고파.",
    "नमस्ते, क्या सब ठीक चल रहा है?",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "Emoji: 🚀 🎉 👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇺🇳 1️⃣",
    "Combining: e\u0301 a\u030a n\u0303 \u1112\u1161\u11ab, beside é å ñ 한.",
    "Right to left marks: \u202eabc\u202c \u200fdef\u200e.",
)

NAMES = (
    "Ada", "Björn", "Chloé", "Dmitri", "Esi", "Fatima", "Gülay", "Hiroshi", "Ines", "José", "Kwame", "Łucja",
    "María", "Nguyễn", "Oluwaseun", "Priya", "Quentin", "Ružena", "Siobhán", "Tomáš", "Ursula", "Věra", "Wei",
    "Ximena", "Yusuf", "Zoë", "Анна", "Ελένη", "محمد", "שרה", "李娜", "さくら", "지훈",
)  # fmt: skip
SURNAMES = (
    "Ångström", "Brontë", "Çelik", "Dvořák", "Eriksen", "Fernández", "García", "Håkonsen", "Ivanova",
    "Jansen", "Kowalski", "López", "Müller", "Nowak", "O'Brien", "Petrović", "Quispe", "Rossi", "Strauß",
    "Țurcanu", "Ünal", "Vogel", "Weiß", "Yılmaz", "Zhang", "d’Arcy", "van der Berg", "da Silva",
    "李", "田中", "الحسن",
)  # fmt: skip

# Values that have cost other migrations data: COPY's own markers, quotes, control characters,
# the edges of Unicode.
# None of them holds NUL, which PostgreSQL cannot store.
HARD_TEXTS = (
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "\\\\server\\share\\new\\table",
    "it's \"quoted\", 'twice' and `thrice`; -- DROP TABLE users",
    "tab\tnew line\ncarriage return\r\nend ",
    "\n",
    "bell \x07, escape \x1b[31m, delete \x7f, unit separator \x1f",
    "separators \u2028 and \u2029, soft hyphen \u00ad, no-break\u00a0space, zero\u200bwidth, BOM \ufeff",
    "edges \u0001 \u0080 \u07ff \u0800 \uffff \U00010000 \U0010ffff \ufffd",
    '{"looks": "like JSON"}',
    "12345678901234567890",
    "1e5",
    "0x1F",
    "true",
    "2024-02-30 25:61:61",
    "%s %d %(name)s {0} ${HOME} $1 ?1 :name @p",
)
