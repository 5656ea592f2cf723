"""The vocabulary of the synthetic world: who, what and where.

Small enough for a tokenizer of a thousand entries, large enough that a story hardly ever occurs
twice: names x things x numbers x wordings.
"""


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Ada Amir Anna Ben Bela Carla Chen Clara Dana David Elif Emma Enzo Eva Fatima Felix Finn "
    "Grace Hana Hugo Ida Ines Ivan Jade Jan Jonas Kai Kira Lara Leo Lena Lin Luca Mara Marco "
    "Maya Mei Milo Mona Nadia Nico Nina Noah Olga Omar Otto Pablo Petra Ravi Rosa Sami Sara "
    "Sofia Tara Theo Tom Uma Vera Victor Wanda Yara Yusuf Zoe"
)

THINGS = _words(
    "apples pears plums lemons peaches cherries nuts eggs cakes rolls buns candies cookies "
    "pencils pens books stamps coins cards shells stones marbles beads buttons ribbons stickers "
    "tickets badges balloons blocks kites balls toys dolls cups plates spoons bottles boxes jars "
    "candles flowers roses seeds leaves feathers fish ducks hens sheep goats chairs lamps keys "
    "bricks tiles ropes nails screws bolts photos letters maps songs hats socks scarves gloves"
)

PLACES = _words(
    "market park school library garden station harbour museum kitchen farm village bakery "
    "workshop beach forest square river bridge office theatre"
)

CONTAINERS = _words("boxes bags baskets crates drawers shelves rows trays jars tables")

DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")

MOODS = _words("happy tired proud hungry calm busy late quiet curious cheerful")

WEATHER = _words("sunny rainy windy cold warm cloudy foggy bright")
