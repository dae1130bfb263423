# -*- coding: utf-8 -*-
SECRET_KEY = 'fixture-not-a-secret'
TIME_ZONE = 'UTC'
