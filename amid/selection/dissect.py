import torch
from amid.losses.cosine import unit_rows
def similarity(a,b): return (100*(unit_rows(a)*unit_rows(b)).sum(1)).clamp(min=0).detach()
def keep(current_similarity,historical_similarity,ratio):
    d=(historical_similarity-historical_similarity.mean())-(current_similarity-current_similarity.mean())
    return d.argsort(descending=True,stable=True)[:max(1,int(len(d)*ratio))].sort().values
def keep_momentum(current_similarity,historical_similarity,ratio,momentum,first_epoch):
    d=historical_similarity-current_similarity
    k=d.argsort(descending=True,stable=True)[:max(1,int(len(d)*ratio))].sort().values
    return k,(current_similarity if first_epoch else momentum*historical_similarity+(1-momentum)*current_similarity)
