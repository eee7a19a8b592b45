## What the garden looks like: one line a day.

import std/strutils
import garden

proc drawn(p: Plant): string =
  let stalk = '|'.repeat(p.height)
  alignLeft(p.name & " " & stalk, ripe + 7)

proc picture*(day: int): string =
  result = "day " & align($day, 3) & "  "
  for p in plants:
    result.add p.drawn
  result.add "basket " & $basket & ", " & news()
