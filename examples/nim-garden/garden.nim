## The rules of the garden: what grows, how fast, and what happens to a plant that is ripe.

import std/hotcodereloading

type Plant* = ref object
  name*: string
  height*: int

const ripe* = 20 ## a plant of this height goes into the basket, and grows anew

var
  plants* = @[Plant(name: "rose"), Plant(name: "fern"), Plant(name: "oak")]
  basket* = 0

proc pace(p: Plant): int =
  ## How much a plant grows in a day.
  case p.name
  of "rose": 2
  of "fern": 3
  else: 1

proc grow(p: Plant) =
  p.height += p.pace
  if p.height >= ripe:
    p.height -= ripe
    inc basket

proc growAll*() =
  for p in plants:
    p.grow()

proc news*(): string =
  ## One word about the garden, shown at the end of the line.
  "all quiet"

afterCodeReload:
  echo "garden: the code has changed, ", plants.len, " plants live on"
