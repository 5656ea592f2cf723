"""The leak alarm: does a candidate's text contain benchmark questions, answers or traces?"""
