## A garden that goes on growing while you change its rules.
##
## This module is the root of the program. It is never reloaded, so it holds what must go on
## without a break: the loop and the calendar. What a plant does stands in `garden`, how the
## garden looks in `painter`: change those two while the program runs.
##
## Usage: garden [milliseconds a day] [last day]

import std/[hotcodereloading, os, strutils]
import garden, painter

let
  args = commandLineParams()
  pause = if args.len > 0: parseInt(args[0]) else: 500
  lastDay = if args.len > 1: parseInt(args[1]) else: high(int)

var day = 0

while day < lastDay:
  inc day
  growAll()
  echo picture(day)
  stdout.flushFile()
  sleep(pause)
  if hasAnyModuleChanged(): # a build that is not complete yet does not count
    performCodeReload()
