"""The leak alarm: does a candidate's text hold the benchmarks' questions, answers or traces?"""
