## A garden that goes on growing while you change its rules.
##
## This module is the root of the program. It is never reloaded, so it holds what must go on
## without a break: the loop and the calendar. What a plant does stands in `garden`, how the
## garden looks in `painter`: change those two while the program runs.
##
## Usage: garden [milliseconds a day] [last day]

import std/[hotcodereloading, os, strutils, times]
import garden, painter

const bell = "bell" ## touched when a build is complete

let
  args = commandLineParams()
  pause = if args.len > 0: parseInt(args[0]) else: 500
  lastDay = if args.len > 1: parseInt(args[1]) else: high(int)

var
  day = 0
  lastRing = getTime()

proc bellRang(): bool =
  ## A build replaces the libraries of the changed modules one after the other. Waiting for the
  ## bell keeps us from taking one half of an edit before the other half is there.
  if fileExists(bell):
    let ring = getLastModificationTime(bell)
    result = ring > lastRing
    if result:
      lastRing = ring

while day < lastDay:
  inc day
  growAll()
  echo picture(day)
  stdout.flushFile()
  sleep(pause)
  if bellRang() and hasAnyModuleChanged():
    performCodeReload()
