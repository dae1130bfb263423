#!/bin/sh
# the program files of a release live here
