import torch
from amid.losses.cosine import unit_rows
def relation_scores(anchors,centres,positives,candidates,temperature):
    r=unit_rows(anchors-centres)
    pos=(r*unit_rows(positives-centres)).sum(1,keepdim=True)
    d2=(candidates**2).sum(1)[None]-2*centres@candidates.T+(centres**2).sum(1,keepdim=True)
    d=d2.clamp(min=1e-8).sqrt()
    neg=(r@candidates.T-(r*centres).sum(1,keepdim=True))/d
    return (torch.cat([pos,neg],1)/temperature).exp()
def gradient_agreement(a,b): return (1-(unit_rows(a)*unit_rows(b)).sum(1)).mean()
